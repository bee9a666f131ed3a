"""A stand-in for a Qdrant server: Qdrant's own gRPC services, with the embedded engine behind them.

It speaks the subset that the project uses, in a process of its own (`python -m qdrant_stand_in`), and fails
where it is told to. The server imports nothing of the project, so that a mistake there is not repeated here.
"""
