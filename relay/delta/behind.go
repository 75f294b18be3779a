package delta

// Behind returns the part of a message that consists of head and, behind it, a whole view of size bytes. Nothing in it is coded.
func Behind(head []byte, size int) []byte {
	var w writer
	w.b = append(w.b, form)
	w.number(len(head) + size)
	w.number(0) // stretches
	w.op(head, -len(head), size)
	return w.b
}
