-- A body of 1 MB with each request.
wrk.method = "POST"
wrk.body = string.rep("0123456789abcdef", 65536)
