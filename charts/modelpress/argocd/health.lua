-- Health of a CompressedModel for Argo CD, from the conditions that the operator writes; docs/gitops.md installs it.
--
-- Healthy: what the manifest asks for is served. Progressing: work goes on by itself. Degraded: it does not go on
-- without a change, and the message says which. Suspended: spec.suspend holds what is left to do.
local function find(conditions, kind)
  for _, condition in ipairs(conditions) do
    if condition.type == kind then
      return condition
    end
  end
  return {}
end

local status = obj.status or {}
local conditions = status.conditions or {}
local ready = find(conditions, "Ready")
local stalled = find(conditions, "Stalled")
local generation = obj.metadata.generation

if status.observedGeneration ~= generation or ready.observedGeneration ~= generation then
  return {status = "Progressing", message = "The operator has not looked at this generation yet."}
end
if stalled.status == "True" then
  return {status = "Degraded", message = stalled.reason .. ": " .. stalled.message}
end
if ready.status == "True" then
  return {status = "Healthy", message = ready.message}
end
if ready.reason == "Suspended" then
  return {status = "Suspended", message = ready.message}
end
return {status = "Progressing", message = (ready.reason or "Unknown") .. ": " .. (ready.message or "")}
