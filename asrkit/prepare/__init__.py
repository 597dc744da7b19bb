"""From a folder of recordings and transcripts to a recipe."""
