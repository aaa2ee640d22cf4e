package tokenizer

import "github.com/tidwall/gjson"

// CountResponses returns the input tokens of a raw request body of the Responses endpoint, as CountChat does of chat's:
// instructions, input items, tools and formats. What a response that is continued puts in is not in the body.
func CountResponses(body []byte) int {
	request := parse(body)
	model := request.Get("model").String()
	return responsesTokens(request, model, encodingFor(model).count)
}

// UpperBoundResponses returns a number that CountResponses never exceeds, without tokenizing.
func UpperBoundResponses(body []byte) int {
	request := parse(body)
	return responsesTokens(request, request.Get("model").String(), func(text string) int { return len(text) })
}

// steersResponses tells the fields that are not shown to the model.
func steersResponses(field string) bool {
	switch field {
	case "background", "include", "max_output_tokens", "previous_response_id", "reasoning", "truncation", "tool_choice":
		return true
	}
	return costsNothing(field)
}

func responsesTokens(request gjson.Result, model string, count func(string) int) int {
	p := &prompt{model: model, count: count, total: tokensPerReply}
	calls := 0
	if request.IsObject() {
		request.ForEach(func(key, value gjson.Result) bool {
			switch {
			case key.Str == "max_tool_calls":
				calls = max(calls, int(min(value.Int(), maxToolCalls)))
			case steersResponses(key.Str) || value.Raw == "null":
			case key.Str == "input" && value.IsArray():
				value.ForEach(func(_, item gjson.Result) bool {
					p.addItem(item)
					return true
				})
			case key.Str == "tools":
				p.total += tokensPerToolList + p.count(value.Raw)
				p.addHosted(value)
			default: // instructions, a plain input, text formats, and what is not known yet
				p.total += tokensPerMessage + p.count("user") // becomes a message of somebody
				p.addText(value)
			}
			return true
		})
	}
	return p.total + hostedAllowance(model, p.hosted, calls) + filesAllowance(model, p.files)
}

// addHosted counts the tools of a list that the provider runs itself, and whose findings it puts before the model: all
// but those that are known to be run by the caller.
func (p *prompt) addHosted(tools gjson.Result) {
	tools.ForEach(func(_, tool gjson.Result) bool {
		hosted := false
		tool.ForEach(func(key, value gjson.Result) bool {
			switch {
			case key.Str == "type" && value.Str != "":
				hosted = hosted || !runByCaller(value.Str)
			case key.Str == "tools": // of a namespace
				p.addHosted(value)
			}
			return true
		})
		if hosted {
			p.hosted++
		}
		return true
	})
}

func runByCaller(tool string) bool {
	switch tool {
	case "function", "custom", "namespace", "local_shell", "apply_patch":
		return true
	}
	return false
}

// addItem counts one input item: a message, or the JSON of a call, its output or whatever else.
func (p *prompt) addItem(item gjson.Result) {
	if !item.IsObject() {
		p.total += p.count(item.Raw)
		return
	}
	p.total += tokensPerMessage
	id, shown := false, false
	item.ForEach(func(key, value gjson.Result) bool {
		id = id || key.Str == "id"
		shown = shown || key.Str != "id" && key.Str != "type" && key.Str != "status"
		switch {
		case (key.Str == "content" || key.Str == "output") && value.IsArray():
			value.ForEach(func(_, part gjson.Result) bool {
				p.addItemPart(part)
				return true
			})
		case value.Type == gjson.String || value.IsObject() || value.IsArray():
			p.addText(value)
			if key.Str == "tools" { // of an item that brings some
				p.addHosted(value)
			}
		}
		return true
	})
	if id && !shown {
		p.total += storedItemAllowance
	}
}

// addItemPart counts one element of an item's content, by the fields that are there.
func (p *prompt) addItemPart(part gjson.Result) {
	if !part.IsObject() {
		p.total += p.count(part.Raw)
		return
	}
	image, file := false, false
	part.ForEach(func(key, value gjson.Result) bool {
		switch key.Str {
		case "type", "detail", "filename":
			image = image || value.Str == "input_image"
			file = file || value.Str == "input_file"
		case "image_url":
			image = true
		case "file_id", "file_data", "file_url":
			file = file || !image
		case "input_audio":
			p.total += audioAllowance(audioBytes(value))
		default:
			p.addText(value)
		}
		return true
	})
	if image {
		p.total += imageAllowance(p.model, lowDetail(part))
	}
	if file && !image {
		p.files++
	}
}

// CountInput returns the tokens of an input of embeddings: a text, a list of texts, tokens, or a list of lists of tokens.
func CountInput(model string, input []byte) int {
	return inputTokens(parse(input), encodingFor(model).count)
}

// UpperBoundInput returns a number that CountInput never exceeds, without tokenizing.
func UpperBoundInput(input []byte) int {
	return inputTokens(parse(input), func(text string) int { return len(text) })
}

func inputTokens(input gjson.Result, count func(string) int) int {
	switch {
	case input.Type == gjson.String:
		return count(input.Str)
	case input.IsArray():
		total := 0
		input.ForEach(func(_, value gjson.Result) bool {
			total += inputTokens(value, count)
			return true
		})
		return total
	case input.Type == gjson.Number:
		return 1
	}
	return count(input.Raw)
}
