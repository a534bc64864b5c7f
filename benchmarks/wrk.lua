-- The requests of one measurement, a check of each answer, and the result as a line of JSON.
-- wrk.py runs it, and says by the environment what differs between servers.

local path, body, text = os.getenv("BENCH_PATH"), os.getenv("BENCH_BODY"), os.getenv("BENCH_TEXT")
local status, leads = tonumber(os.getenv("BENCH_STATUS")), tonumber(os.getenv("BENCH_LEADS"))
local others, step = tonumber(os.getenv("BENCH_OTHERS")), tonumber(os.getenv("BENCH_THREADS"))

local STATUSES = { "new", "contacted", "qualified", "converted", "lost" }
local STRIDE = 7919 -- a prime, by which it takes leads all over the table, and in the end each

local threads = {}

-- A thread for each port, and so for each instance of the server.
function setup(thread)
   local port = os.getenv("BENCH_PORTS"):gmatch("%d+")
   for _ = 1, #threads do port() end
   thread.addr = wrk.lookup("127.0.0.1", port())[1]
   table.insert(threads, thread)
   thread:set("number", os.getenv("BENCH_FIRST") + #threads)
end

function init()
   wrong, example = 0, ""
   wrk.method, wrk.path = os.getenv("BENCH_METHOD"), path
   wrk.headers["Authorization"] = "Bearer " .. os.getenv("BENCH_TOKEN")
   if body ~= "" then
      wrk.headers["Content-Type"] = "application/json"
      request = one_more
   end
end

-- Its number is in the body, so that no two are alike and each update changes something.
function one_more()
   number = number + step
   local id = 1 + number * STRIDE % leads
   if id % others == 0 then id = id - 1 end -- it would be another user's
   local values = { number = number, status = STATUSES[1 + number % #STATUSES] }
   return wrk.format(nil, path:format(id), nil, (body:gsub("{(%a+)}", values)))
end

function response(got, _, answer)
   if got ~= status or not answer:find(text, 1, true) then
      wrong, example = wrong + 1, got .. " " .. answer:sub(1, 200)
   end
end

function done(summary, latency)
   local errors = summary.errors
   local failed = errors.connect + errors.read + errors.write + errors.timeout
   for _, thread in ipairs(threads) do
      failed = failed + thread:get("wrong")
      io.stderr:write(thread:get("example"))
   end
   print(('{"requests": %d, "seconds": %f, "median": %f, "p99": %f, "failed": %d}'):format(
      summary.requests, summary.duration / 1e6,
      latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, failed))
end
