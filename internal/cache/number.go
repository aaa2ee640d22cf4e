package cache

import (
	"bytes"
	"strconv"
)

// number writes a JSON number by its value, as all its digits and a power of ten: 1, 1.0 and 10e-1 are all 1e0. It
// never goes through a float: two numbers that a float cannot tell apart stay two.
func (c *canonical) number(i int) int {
	start, point, exponent := i, -1, 0
	for ; i < len(c.in); i++ {
		ch := c.in[i]
		if ch == '.' && point < 0 {
			point = i
		} else if !(ch >= '0' && ch <= '9' || ch == '-' && i == start) {
			break
		}
	}
	mantissa := c.in[start:i]
	if i < len(c.in) && (c.in[i] == 'e' || c.in[i] == 'E') {
		from := i + 1
		for i++; i < len(c.in) && (c.in[i] >= '0' && c.in[i] <= '9' || i == from && (c.in[i] == '-' || c.in[i] == '+')); i++ {
		}
		n, err := strconv.Atoi(string(c.in[from:i]))
		if err != nil || n > 1e9 || n < -1e9 {
			return -1 // no provider can mean this
		}
		exponent = n
	}
	if point >= 0 {
		exponent -= start + len(mantissa) - point - 1
	}
	return c.decimal(mantissa, exponent, i)
}

// decimal writes mantissa (digits, perhaps a sign and a point that has been counted already) × 10^exponent.
func (c *canonical) decimal(mantissa []byte, exponent, next int) int {
	at := len(c.out)
	if bytes.HasPrefix(mantissa, []byte{'-'}) {
		c.out = append(c.out, '-')
		mantissa = mantissa[1:]
	}
	digits := len(c.out)
	for _, ch := range mantissa {
		if ch != '.' && !(ch == '0' && len(c.out) == digits) {
			c.out = append(c.out, ch)
		}
	}
	if len(mantissa) == 0 || mantissa[0] == '.' {
		return -1
	}
	for len(c.out) > digits && c.out[len(c.out)-1] == '0' {
		c.out = c.out[:len(c.out)-1]
		exponent++
	}
	if len(c.out) == digits {
		c.out = append(c.out[:at], '0') // no digit but zeros, whatever its sign
		return next
	}
	c.out = strconv.AppendInt(append(c.out, 'e'), int64(exponent), 10)
	return next
}
