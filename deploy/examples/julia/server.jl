# A worker with HTTP.jl. Once: julia --project -e 'using Pkg; Pkg.add("HTTP")'
using HTTP

const PORT = parse(Int, ARGS[1])
const NAME = "server $(get(ENV, "INSTANCE_ID", PORT))\n"

HTTP.serve("127.0.0.1", PORT) do request
    HTTP.Response(200, NAME)
end
