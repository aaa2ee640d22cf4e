// Package fault gives errors a kind and a message that a person may see.
//
// The kind decides the status in every protocol (panel page, /v1 JSON, command line); the key is looked up in
// the catalogues of internal/i18n. The cause stays inside: it is logged once at the edge, never shown.
package fault

import (
	"errors"
	"strings"
)

// Kind says what sort of failure an error is, independent of any protocol.
type Kind uint8

// The kinds. Internal is the zero value: an error of no kind is a 500 with a general message.
const (
	Internal        Kind = iota
	Invalid              // what was given cannot be accepted
	Unauthenticated      // nobody, or not who they claim to be
	Forbidden            // known, but not allowed
	NotFound             // there is no such thing, or it is not theirs to see
	Conflict             // it clashes with what is there
	Unavailable          // a part we need is away; try again
)

// Field is one rejected input, named as the form or flag names it.
type Field struct {
	Name string // form field, such as "price"
	Key  string // message key, such as "error.required"
	Args []any  // name, value pairs for the message's placeholders
}

// Error is a failure that may be shown. Key and Args render through i18n; Fields stand beside their inputs.
type Error struct {
	Kind   Kind
	Key    string
	Args   []any
	Fields []Field
	cause  error
}

// New makes an error of a kind with a message key and name, value pairs for its placeholders.
func New(kind Kind, key string, args ...any) *Error {
	return &Error{Kind: kind, Key: key, Args: args}
}

// Because keeps the cause for the log; it is never shown.
func (e *Error) Because(cause error) *Error {
	e.cause = cause
	return e
}

// Error describes the failure for the log: key, fields and cause.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Key)
	for _, f := range e.Fields {
		b.WriteString("; " + f.Name + ": " + f.Key)
	}
	if e.cause != nil {
		b.WriteString(": " + e.cause.Error())
	}
	return b.String()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.cause }

// KindOf finds the kind of err; Internal when it has none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// Is tells whether err is of that kind.
func Is(err error, kind Kind) bool { return err != nil && KindOf(err) == kind }

// Form collects the rejected inputs of one form, so that all are told at once.
type Form struct{ fields []Field }

// Reject notes a rejected input.
func (f *Form) Reject(name, key string, args ...any) {
	f.fields = append(f.fields, Field{Name: name, Key: key, Args: args})
}

// Check notes a rejected input unless ok.
func (f *Form) Check(ok bool, name, key string, args ...any) {
	if !ok {
		f.Reject(name, key, args...)
	}
}

// Err is nil when nothing was rejected, else an Invalid error with all fields.
func (f *Form) Err() error {
	if len(f.fields) == 0 {
		return nil
	}
	return &Error{Kind: Invalid, Key: "error.form", Fields: f.fields}
}
