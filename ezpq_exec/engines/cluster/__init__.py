"""Jobs on the workers of a Dask cluster: an outpost with a local engine on each, and who commands them."""
