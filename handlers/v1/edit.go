package v1

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/tidwall/sjson"

	"github.com/fila-ia/filaia/internal/gateway"
)

// message makes what to send to a provider that knows the model by this name: the caller's bytes, with what is needed
// changed. The usage figure is always asked for in a stream, and an answer is cut where its hold ends.
func (b *body) message(maxOutput int64) func(upstreamModel string) *gateway.Message {
	if b.boundary != "" {
		return b.multipartMessage
	}
	raw := b.metered(maxOutput)
	return func(upstreamModel string) *gateway.Message {
		m := &gateway.Message{Path: b.wire.path, Model: upstreamModel, Body: raw}
		switch name := func() string { q, _ := json.Marshal(upstreamModel); return string(q) }; {
		case b.unnamed && b.seen&fieldModel == 0:
			m.Body = inserted(raw, `"model":`+name())
		case b.unnamed || upstreamModel != b.model:
			m.Body = edited(raw, "model", name())
		}
		return m
	}
}

func (b *body) metered(maxOutput int64) []byte {
	raw := b.raw
	if b.wire.usageOption && b.stream && !b.includeUsage {
		if b.seen&fieldStreamOptions != 0 {
			raw = edited(raw, "stream_options.include_usage", "true")
		} else {
			raw = inserted(raw, `"stream_options":{"include_usage":true}`)
		}
	}
	if maxOutput > 0 && b.wire.cut != "" {
		limit := strconv.FormatInt(maxOutput, 10)
		if b.seen&b.wire.cutField != 0 {
			raw = edited(raw, b.wire.cut, limit)
		} else {
			raw = inserted(raw, `"`+b.wire.cut+`":`+limit)
		}
	}
	return raw
}

// inserted adds a member as the first of a JSON object; the rest of the bytes stay as they are.
func inserted(body []byte, member string) []byte {
	at := bytes.IndexByte(body, '{') + 1
	out := make([]byte, 0, len(body)+len(member)+1)
	out = append(append(out, body[:at]...), member...)
	if rest := bytes.TrimSpace(body[at:]); len(rest) > 0 && rest[0] != '}' {
		out = append(out, ',')
	}
	return append(out, body[at:]...)
}

// edited replaces one member that is there.
func edited(body []byte, path, value string) []byte {
	out, err := sjson.SetRawBytes(body, path, []byte(value))
	if err != nil {
		return body // cannot happen: the path is ours and the body was validated
	}
	return out
}
