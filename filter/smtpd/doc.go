// Package smtpd is the second door: mail comes by SMTP or LMTP, from an MTA that uses Millrace as its content filter, or straight from an
// application.
package smtpd
