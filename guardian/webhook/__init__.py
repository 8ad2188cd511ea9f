"""The admission webhook's transport: processes, TLS, HTTP, deadlines, spool. `usecases.review` is what decides."""
