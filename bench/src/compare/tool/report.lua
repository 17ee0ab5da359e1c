-- The percentiles wrk's own report leaves out, in microseconds.
done = function(summary, latency, requests)
  for _, percent in ipairs({50, 75, 90, 99, 99.9}) do
    io.write(string.format("percentile %g: %g us\n", percent, latency:percentile(percent)))
  end
  io.write(string.format("percentile 100: %g us\n", latency.max))
end
