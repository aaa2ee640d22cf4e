package v1

import (
	"bytes"

	"github.com/tidwall/gjson"
)

// maxDepth is how deep JSON may be nested. Validating it recurses, and a stack that overflows ends the whole process.
const maxDepth = 512

// validJSON tells whether a provider's bytes are JSON that can be read.
func validJSON(b []byte) bool { return !tooDeep(b) && gjson.ValidBytes(b) }

// tooDeep tells whether brackets outside strings are nested deeper than maxDepth. It says nothing of anything else.
func tooDeep(json []byte) bool {
	// Nearly every body has fewer brackets in all, which is seen many bytes at a time.
	if bytes.Count(json, []byte{'{'})+bytes.Count(json, []byte{'['}) <= maxDepth {
		return false
	}
	depth, inString := 0, false
	for i := 0; i < len(json); i++ {
		switch c := json[i]; {
		case inString:
			if c == '\\' {
				i++
			} else if c == '"' {
				inString = false
			}
		case c == '"':
			inString = true
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}
