"""The pictures that `Plot` draws, one a module: each takes records and gives a plotnine ggplot."""
