"""This catalogue against another hub's OData: what is missing here, what is extra, what differs."""
