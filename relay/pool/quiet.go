package pool

// quietHours is a part of the day, in minutes from midnight. An end that is not behind the begin is on the next day.
type quietHours struct{ from, to int }
