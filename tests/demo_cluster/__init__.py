"""`make demo-cluster`: the cluster side of Guardian on a real Kubernetes API server."""
