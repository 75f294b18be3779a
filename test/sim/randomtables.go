package main

// tables gives the daemon of a random day sources, tenants, rules about sites and replies, and an urgent lane; many days have none
// of them.
func (d *day) tables(sites int) {
	addresses := d.rng.IntN(3) == 0
	if addresses {
		d.line("address 192.0.2.11")
	}
	d.line("toml")
	if addresses {
		d.line("[[source]]\nname = \"old\"\naddress = \"192.0.2.10\"\nweight = %d", pick(d.rng, 1, 3))
		d.line("[[source]]\nname = \"new\"\naddress = \"192.0.2.11\"")
		if d.rng.IntN(2) == 0 {
			d.line("[[source.warmup]]\nstart = %q\nplan = %s", pick(d.rng, "1999-12-31", "2000-01-01"), pick(d.rng, "[5]", "[50, 60]", "[1, 1000]"))
		}
	}
	if d.rng.IntN(2) == 0 {
		for i := range 1 + d.rng.IntN(2) {
			d.line("[[tenant]]\nname = \"t%d\"\nsender = \"*@t%d.test\"\nweight = %d", i, i, pick(d.rng, 1, 3))
			d.line("%s", pick(d.rng, "", "connections = 2", "rate = 0.5", "connections = 1\nrate = 1"))
			if addresses && d.rng.IntN(2) == 0 {
				d.line("sources = [%q]", pick(d.rng, "old", "new"))
			}
		}
	}
	if d.rng.IntN(3) == 0 {
		d.line("[[bulk.rule]]\nname = \"lane\"\nheader = \"X-Lane\"\nvalue = \"urgent\"\nlane = \"urgent\"")
	}
	if d.rng.IntN(3) == 0 {
		d.line("[[site]]\n%s = [\"s%d.test\"]", pick(d.rng, "domain", "mx"), d.rng.IntN(sites))
		d.line("%s", pick(d.rng, "connections = 2", `rate = "1/s"`, `quiet = ["03:00-05:00"]`, "recipients_per_message = 2", "messages_per_connection = 3", "domains_per_transaction = 1"))
	}
	if d.rng.IntN(3) == 0 {
		d.line("[[reply]]\n%s", pick(d.rng, `code = "421"`, `code = "4xx"`, `match = "too fast"`, `class = "greylisting"`))
		d.line("%s", pick(d.rng, "window = 1", `rate = "50%"`, "suspend = true\nfor = \"10m\"", "suspend = true\nscope = \"sender\"", "messages_per_connection = 1", "window = 1\nscope = \"site\""))
	}
	d.line("end")
}
