package v1

import (
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// Calls may name objects that the provider keeps: files, vector stores, containers, items of other responses. They belong to
// the operator's account, which all tenants share, and whose each one is nobody can tell. So what a call needs must be in it.

// maxReferenceDepth is deeper below a member than any reference stands; to look further would only take time.
const maxReferenceDepth = 10

// Bytes without which a value names no such object. They spare nearly all calls the walk.
var (
	hintsOfItems    = [...]string{`id"`, `ids"`, `container"`}
	hintsOfMessages = [...]string{`file_id"`, `audio"`}
)

// itemReference finds a reference in the items or the tools of a response, and gives its path; "" where there is none.
func itemReference(name string, value gjson.Result) string {
	if !hinted(value.Raw, hintsOfItems[:]) {
		return ""
	}
	if name == "input" && value.IsArray() {
		if path := eachOf(value, func(item gjson.Result) string {
			if refersToItem(item) {
				return ".id"
			}
			return ""
		}); path != "" {
			return name + path
		}
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

// refersToItem tells whether an item stands for one that is stored: by its type, by having nothing but an id, or as an image
// that is not there.
func refersToItem(item gjson.Result) bool {
	var id, named, kind, image, shown, hidden bool
	item.ForEach(func(key, value gjson.Result) bool {
		text := value.Type == gjson.String && value.Str != ""
		switch key.Str {
		case "id":
			id = id || text
		case "type":
			named, image = named || value.Str == "item_reference", image || value.Str == "image_generation_call"
			kind = kind || text
		case "role":
			kind = kind || text
		case "result":
			shown, hidden = shown || text, hidden || !text
		}
		return true
	})
	return id && (named || !kind || image && (hidden || !shown))
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
