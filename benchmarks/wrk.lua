-- Asks for the paths of a file in turn, and tells what happened as one line of JSON. Usage: wrk … -s wrk.lua URL -- FILE SEED
local paths, at, failed = {}, 0, 0

function init(arguments)
    for line in io.lines(arguments[1]) do
        paths[#paths + 1] = line
    end
    at = tonumber(arguments[2])
end

function request()
    at = at % #paths + 1
    return wrk.format("GET", paths[at])
end

function done(summary, latency, requests)
    local errors = summary.errors
    print(string.format(
        '{"requests":%d,"seconds":%f,"bytes":%d,"p50_ms":%f,"p95_ms":%f,"refused":%d,"broken":%d}',
        summary.requests, summary.duration / 1e6, summary.bytes, latency:percentile(50) / 1e3,
        latency:percentile(95) / 1e3, errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
