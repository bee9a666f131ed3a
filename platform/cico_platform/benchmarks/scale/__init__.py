"""`cico bench scale`: what a run costs as the corpus grows; one module measures one row."""
