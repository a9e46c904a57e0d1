-- What is described is packaged, what is packaged is published.
INSERT INTO work.subscription (event, stage)
VALUES ('product.described', 'distribution.package'), ('product.packaged', 'distribution.publish');
