"""Quick-looks: a product's own picture as it is, or a small one made of its rasters before it is published.

choosing   which file of a product is its picture, and of which one a picture is made
making     has one drawn in a process of its own, with limits
child      that process
drawing    pictures of rasters
tiff       lines of a TIFF, read one by one
"""
