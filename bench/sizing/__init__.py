"""Parts of the model of capacity, see `bench.capacity`."""
