package v1

import (
	"bytes"
	"encoding/json"
	"slices"
)

// An answer of the cache is given in the form that is asked for, whichever it was made in. Only then it is decoded.

// doc is JSON whose members we do not all know. Numbers keep their digits.
type doc = map[string]any

func decoded(b []byte) (d doc, ok bool) {
	decoder := json.NewDecoder(bytes.NewReader(b))
	decoder.UseNumber()
	return d, decoder.Decode(&d) == nil
}

func encoded(v any) ([]byte, bool) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), err == nil
}

// chatForms turns chat completions into their chunks and back.
type chatForms struct{}

// Whole adds the deltas up, as OpenAI's SDKs do.
func (chatForms) Whole(stream []byte) ([]byte, bool) {
	return wholeOf(stream, "chat.completion", func(choice, chunk doc) {
		message, _ := choice["message"].(doc)
		if message == nil {
			message = doc{"role": "assistant", "content": nil}
			choice["message"] = message
		}
		if delta, ok := chunk["delta"].(doc); ok {
			accumulate(message, delta)
		}
	}, func(choice doc) {
		message, _ := choice["message"].(doc)
		calls, _ := message["tool_calls"].([]any)
		for _, call := range calls {
			if call, ok := call.(doc); ok {
				delete(call, "index")
			}
		}
	})
}

// Stream gives the answer as one chunk of text, and what ends it.
func (chatForms) Stream(whole []byte) ([]byte, bool) {
	return streamOf(whole, "chat.completion.chunk", func(choice doc) (first, last doc) {
		delta, _ := choice["message"].(doc)
		if calls, ok := delta["tool_calls"].([]any); ok {
			for i, call := range calls {
				if call, ok := call.(doc); ok {
					call["index"] = i
				}
			}
		}
		return doc{"index": choice["index"], "delta": delta, "logprobs": choice["logprobs"], "finish_reason": nil},
			doc{"index": choice["index"], "delta": doc{}, "logprobs": nil, "finish_reason": choice["finish_reason"]}
	})
}

// completionForms does the same for legacy completions.
type completionForms struct{}

func (completionForms) Whole(stream []byte) ([]byte, bool) {
	return wholeOf(stream, "text_completion", func(choice, chunk doc) {
		text, _ := choice["text"].(string)
		more, _ := chunk["text"].(string)
		choice["text"] = text + more
	}, func(doc) {})
}

func (completionForms) Stream(whole []byte) ([]byte, bool) {
	return streamOf(whole, "text_completion", func(choice doc) (first, last doc) {
		return doc{"index": choice["index"], "text": choice["text"], "logprobs": choice["logprobs"], "finish_reason": nil},
			doc{"index": choice["index"], "text": "", "logprobs": nil, "finish_reason": choice["finish_reason"]}
	})
}

// wholeOf builds an answer from its chunks; add takes a chunk's choice into the answer's, end finishes that. Without a
// choice there is no answer: what was read was no stream of one.
func wholeOf(stream []byte, object string, add func(choice, chunk doc), end func(choice doc)) ([]byte, bool) {
	answer, choices := doc{}, map[string]doc{}
	var order []string
	for rest := stream; len(rest) > 0; {
		n := eventEnd(rest, 0)
		if n < 0 {
			n = len(rest)
		}
		data, ok := eventData(rest[:n])
		rest = rest[n:]
		if !ok || bytes.Equal(data, doneMark) {
			continue
		}
		chunk, ok := decoded(data)
		if !ok {
			return nil, false
		}
		list, _ := chunk["choices"].([]any)
		for _, item := range list {
			part, _ := item.(doc)
			index := number(part["index"])
			choice := choices[index]
			if choice == nil {
				choice = doc{"index": json.Number(index), "logprobs": nil, "finish_reason": nil}
				choices[index], order = choice, append(order, index)
			}
			add(choice, part)
			if part["finish_reason"] != nil {
				choice["finish_reason"] = part["finish_reason"]
			}
			if probs, ok := part["logprobs"].(doc); ok {
				sum, _ := choice["logprobs"].(doc)
				if sum == nil {
					sum = doc{}
				}
				accumulate(sum, probs)
				choice["logprobs"] = sum
			}
		}
		for key, value := range chunk {
			if key != "choices" && value != nil {
				answer[key] = value
			}
		}
	}
	if len(order) == 0 {
		return nil, false
	}
	slices.SortFunc(order, func(a, b string) int { return len(a) - len(b) + compareSame(a, b) })
	list := make([]any, 0, len(order))
	for _, index := range order {
		end(choices[index])
		list = append(list, choices[index])
	}
	answer["object"], answer["choices"] = object, list
	return encoded(answer)
}

// compareSame orders digits of the same length; others are ordered by it.
func compareSame(a, b string) int {
	if len(a) != len(b) {
		return 0
	}
	return bytes.Compare([]byte(a), []byte(b))
}

// number gives the digits of an index; 0 where there is none.
func number(v any) string {
	if n, ok := v.(json.Number); ok {
		return n.String()
	}
	return "0"
}

// accumulate adds a delta to what came before: texts are joined, lists by the index of their items or at the end.
func accumulate(sum, delta doc) {
	for key, value := range delta {
		switch before := sum[key].(type) {
		case string:
			text, ok := value.(string)
			if ok && key != "role" && key != "type" && key != "id" && key != "name" {
				sum[key] = before + text
			} else if value != nil {
				sum[key] = value
			}
		case doc:
			if more, ok := value.(doc); ok {
				accumulate(before, more)
			}
		case []any:
			if more, ok := value.([]any); ok {
				sum[key] = joined(before, more)
			}
		default:
			if value != nil {
				sum[key] = value
			}
		}
	}
}

func joined(list, more []any) []any {
	for _, item := range more {
		part, _ := item.(doc)
		at := -1
		if index, ok := part["index"]; ok {
			at = slices.IndexFunc(list, func(old any) bool {
				before, _ := old.(doc)
				return before != nil && number(before["index"]) == number(index)
			})
		}
		if at < 0 {
			list = append(list, item)
			continue
		}
		accumulate(list[at].(doc), part)
	}
	return list
}

// streamOf gives an answer as chunks: all of it at once, why it ended, the usage, and the end.
func streamOf(whole []byte, object string, split func(choice doc) (first, last doc)) ([]byte, bool) {
	answer, ok := decoded(whole)
	list, isList := answer["choices"].([]any)
	if !ok || !isList {
		return nil, false
	}
	var firsts, lasts []any
	for _, item := range list {
		choice, ok := item.(doc)
		if !ok {
			return nil, false
		}
		first, last := split(choice)
		firsts, lasts = append(firsts, first), append(lasts, last)
	}
	usage := answer["usage"]
	answer["object"] = object
	var out []byte
	for _, part := range []struct{ choices, usage any }{{firsts, nil}, {lasts, nil}, {[]any{}, usage}} {
		answer["choices"], answer["usage"] = part.choices, part.usage
		chunk, ok := encoded(answer)
		if !ok {
			return nil, false
		}
		out = append(append(append(out, "data: "...), chunk...), "\n\n"...)
	}
	return append(out, done...), true
}
