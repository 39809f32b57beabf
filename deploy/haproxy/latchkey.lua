-- The action `lua.latchkey QUERY` of haproxy.cfg: asks /auth/verify about the request. Where it may pass, it gets the
-- X-Auth- headers of the answer and txn.let_in is set; where not, Latchkey's answer is the answer. VERIFY is a variable of
-- the environment.

local URL = "http://" .. os.getenv("VERIFY") .. "/auth/verify"
local IDENTITY = { "x-auth-user-id", "x-auth-session-id", "x-auth-roles" }
-- Of a refusal.
local PASSED_ON = {
  "content-type", "content-language", "vary", "cache-control", "www-authenticate", "retry-after", "x-request-id",
}
local AWAY = '{"statusCode":503,"code":"UNAVAILABLE","error":"Service Unavailable",'
  .. '"message":"The service is not available right now. Try again shortly."}'

local function first(headers, name)
  return headers and headers[name] and headers[name][0]
end

local function refuse(txn, answer)
  local reply = txn:reply({ status = answer.status })
  for _, name in ipairs(PASSED_ON) do
    local value = first(answer.headers, name)
    if value then reply:add_header(name, value) end
  end
  reply:set_body(answer.body or "")
  txn:done(reply)
end

core.register_action("latchkey", { "http-req" }, function(txn, query)
  local asked = txn.http:req_get_headers()
  local headers = {}
  for _, name in ipairs({ "host", "authorization", "accept-language", "x-request-id" }) do
    local value = first(asked, name)
    if value then headers[name] = { value } end
  end
  local answer = core.httpclient():get({ url = URL .. query, headers = headers })
  if answer.status == 200 then
    for _, name in ipairs(IDENTITY) do
      txn.http:req_set_header(name, first(answer.headers, name) or "")
    end
    txn:set_var("txn.let_in", true)
  elseif answer.status == 401 or answer.status == 403 or (answer.status == 503 and first(answer.headers, "x-request-id")) then
    refuse(txn, answer)
  else
    local own = {
      ["content-type"] = { [0] = "application/json; charset=utf-8" },
      ["content-language"] = { [0] = "en" },
      ["vary"] = { [0] = "accept-language" },
      ["cache-control"] = { [0] = "no-store" },
      ["retry-after"] = { [0] = "1" },
      ["x-request-id"] = { [0] = first(asked, "x-request-id") },
    }
    refuse(txn, { status = 503, headers = own, body = AWAY })
  end
end, 1)
