-- Sends the requests of a file in turn; `%d` in a header or body becomes a number that never comes twice in a run.
local requests, counter, fillings = {}, 0, {}

-- As many bytes as a large body has in its middle, made once.
local function filling(size)
  fillings[size] = fillings[size] or string.rep('x', size)
  return fillings[size]
end

function init(arguments)
  requests = dofile(arguments[1])
  counter = tonumber(arguments[2])
end

function request()
  counter = counter + 1
  local r = requests[counter % #requests + 1]
  local headers = {}
  for name, value in pairs(r.headers) do headers[name] = value:gsub('%%d', counter) end
  local body = r.body and r.body:gsub('%%d', counter)
  if r.filling then body = body .. filling(r.filling) .. r.ending end
  return wrk.format(r.method, r.path, headers, body)
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "seconds": %f, "p50_ms": %f, "p95_ms": %f, "p99_ms": %f, "max_ms": %f, "refused": %d, "broken": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(95) / 1e3,
    latency:percentile(99) / 1e3, latency.max / 1e3, errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
