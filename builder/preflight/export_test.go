package preflight

// CheckBy is Check with a clock.
var CheckBy = checkBy
