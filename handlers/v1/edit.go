package v1

import (
	"strconv"

	"github.com/tidwall/sjson"
)

// forProvider gives the body to send: the caller's bytes, with two things added where they are needed. The usage
// figure is always asked for in a stream, and an answer is cut where its hold ends.
func (b *chatBody) forProvider(maxOutput int64) []byte {
	body := b.raw
	if b.stream && !b.includeUsage {
		if b.seen&fieldStreamOptions != 0 {
			body = edited(body, "stream_options.include_usage", "true")
		} else {
			body = inserted(body, `"stream_options":{"include_usage":true}`)
		}
	}
	if maxOutput > 0 {
		limit := strconv.FormatInt(maxOutput, 10)
		if b.seen&fieldMaxCompletionTokens != 0 {
			body = edited(body, "max_completion_tokens", limit)
		} else {
			body = inserted(body, `"max_completion_tokens":`+limit)
		}
	}
	return body
}

// inserted adds a member as the first of a JSON object that has others; the rest of the bytes stay as they are.
func inserted(body []byte, member string) []byte {
	for i, c := range body {
		if c == '{' {
			out := make([]byte, 0, len(body)+len(member)+1)
			out = append(append(out, body[:i+1]...), member...)
			return append(append(out, ','), body[i+1:]...)
		}
	}
	return body
}

// edited replaces one member that is there.
func edited(body []byte, path, value string) []byte {
	out, err := sjson.SetRawBytes(body, path, []byte(value))
	if err != nil {
		return body // cannot happen: the path is ours and the body was validated
	}
	return out
}
