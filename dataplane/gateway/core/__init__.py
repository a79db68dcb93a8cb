"""What happens to a request between the transport and the worker: choice of the arm, queues, batches, connections to
workers.
"""
