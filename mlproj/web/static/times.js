// Moments and spans of time as people say them.
const UNITS = [["d", 86400], ["h", 3600], ["min", 60]];

export function relative(text, now) {
  const seconds = (now - Date.parse(text)) / 1000;
  if (Number.isNaN(seconds)) return text;
  if (seconds > 30 * 86400) return text.slice(0, 10);
  for (const [unit, length] of UNITS) if (seconds >= length) return `${Math.floor(seconds / length)} ${unit} ago`;
  return seconds < -60 ? "in the future" : `${Math.max(0, Math.floor(seconds))} s ago`;
}

export function span(seconds) {
  if (seconds < 60) return `${Math.max(0, seconds).toFixed(0)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m ${String(Math.floor(seconds % 60)).padStart(2, "0")} s`;
  return `${Math.floor(seconds / 3600)} h ${String(Math.floor((seconds % 3600) / 60)).padStart(2, "0")} m`;
}
