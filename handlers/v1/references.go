package v1

import (
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// Calls may name objects that the provider keeps: files, vector stores, containers. They belong to the operator's account,
// which all tenants share, and none was made through the gateway: so whichever is named is not the caller's, and what a call
// needs must be in it. Items of earlier responses may be named: SDKs do so by themselves, and their ids, which cannot be
// guessed, are told to nobody but the tenant they were made for.

// maxReferenceDepth is deeper below a member than any reference stands; to look further would only take time.
const maxReferenceDepth = 10

// Bytes without which a value names no such object. They spare nearly all calls the walk.
var (
	hintsOfItems    = [...]string{`_id"`, `_ids"`, `container"`}
	hintsOfMessages = [...]string{`file_id"`, `audio"`}
)

// itemReference finds a reference in the items or the tools of a response, and gives its path; "" where there is none.
func itemReference(name string, value gjson.Result) string {
	if !hinted(value.Raw, hintsOfItems[:]) {
		return ""
	}
	return below(name, reference(value, maxReferenceDepth))
}

// messageReference does so for the messages of a chat.
func messageReference(name string, value gjson.Result) string {
	if !hinted(value.Raw, hintsOfMessages[:]) {
		return ""
	}
	return below(name, reference(value, maxReferenceDepth))
}

func below(name, path string) string {
	if path == "" {
		return ""
	}
	return name + path
}

func hinted(raw string, hints []string) bool {
	for _, hint := range hints {
		if strings.Contains(raw, hint) {
			return true
		}
	}
	return escapesLetter(raw)
}

// escapesLetter tells whether letters of a name may be written as escapes: \u0040 to \u007f.
func escapesLetter(raw string) bool {
	const escape = `\u00`
	for {
		_, rest, found := strings.Cut(raw, escape)
		if !found {
			return false
		}
		if rest != "" && '4' <= rest[0] && rest[0] <= '7' {
			return true
		}
		raw = rest
	}
}

// reference finds a reference at most depth levels below a value.
func reference(value gjson.Result, depth int) string {
	switch {
	case depth == 0:
		return ""
	case value.IsArray():
		return eachOf(value, func(element gjson.Result) string { return reference(element, depth-1) })
	case !value.IsObject():
		return ""
	}
	path := ""
	value.ForEach(func(key, member gjson.Result) bool {
		switch key.Str {
		case "parameters", "input_schema", "output_schema": // where names are the caller's
		case "annotations", "results": // of an earlier answer: told, not asked for
		case "file_id", "file_ids", "vector_store_ids", "container_id", "skill_id", "tunnel_id":
			if names(member) {
				path = "." + key.Str
			}
		case "container", "audio":
			if key.Str == "container" && names(member) {
				path = "." + key.Str
			} else if path = below("."+key.Str, idOf(member)); path == "" {
				path = below("."+key.Str, reference(member, depth-1))
			}
		default:
			path = below("."+key.Str, reference(member, depth-1))
		}
		return path == ""
	})
	return path
}

// names tells whether a value is an id, or a list of some.
func names(value gjson.Result) bool {
	return value.Type == gjson.String && value.Str != "" || value.IsArray() && value.Get("0").Exists()
}

func idOf(object gjson.Result) (path string) {
	if object.IsObject() {
		object.ForEach(func(key, value gjson.Result) bool {
			if key.Str == "id" && names(value) {
				path = ".id"
			}
			return path == ""
		})
	}
	return path
}

func eachOf(list gjson.Result, find func(element gjson.Result) string) (path string) {
	n := 0
	list.ForEach(func(_, element gjson.Result) bool {
		if found := find(element); found != "" {
			path = "[" + strconv.Itoa(n) + "]" + found
		}
		n++
		return path == ""
	})
	return path
}

// notOurs refuses a reference.
func notOurs(path string) error {
	if path == "" {
		return nil
	}
	path = shortened(path)
	return invalid(path, "'%s' is not supported here: objects that the provider stores cannot be referred to. "+
		"Send the content itself, or use 'previous_response_id' to continue a response.", path)
}
