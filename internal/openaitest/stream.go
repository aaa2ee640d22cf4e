package openaitest

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"time"
)

var done = []byte("data: [DONE]\n\n")

// event returns one event of a stream.
func event(document any) []byte {
	return slices.Concat([]byte("data: "), compact(document), []byte("\n\n"))
}

// namedEvent returns one event that says its type in a line of its own, too.
func namedEvent(name string, document any) []byte {
	return slices.Concat([]byte("event: "+name+"\n"), event(document))
}

// wire is how an endpoint writes its stream down.
type wire struct {
	contentType string
	malformed   []byte                 // an event that cannot be read
	failure     func(after int) []byte // the event of an error that comes after so many others
}

const eventStream = "text/event-stream; charset=utf-8"

// dataEvents are the streams of chat and legacy completions, and of audio.
var dataEvents = wire{
	contentType: eventStream,
	malformed:   []byte("data: {\"id\":\"chatcmpl-\",\"object\":chat.completion.chunk,,\n\n"),
	failure:     func(int) []byte { return event(serverError().body()) },
}

// namedEvents are the streams of images.
var namedEvents = wire{
	contentType: eventStream,
	malformed:   []byte("event: image_generation.partial_image\ndata: {\"type\":image_generation,,\n\n"),
	failure:     func(int) []byte { return namedEvent("error", serverError().body()) },
}

// ending is what follows the last event of a stream.
type ending int

const (
	endWhole ending = iota // the end of the answer
	endCut                 // the end as well, but of an answer cut short
	endReset
	endStall
)

// stream sends events as the body of an answer. fasthttp reads it piece by piece and flushes each, so that events
// leave one by one without a goroutine in between.
type stream struct {
	server *Server
	conn   net.Conn
	count  tallies
	usage  Usage

	events  [][]byte
	rest    []byte        // of the event being read
	pause   time.Duration // between two events
	uneven  *rand.Rand    // varies the pauses when set
	ending  ending
	counted bool
}

var errCut = errors.New("stream cut short")

// Read gives the next event, as much of it as fits.
func (s *stream) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		if len(s.events) == 0 {
			return 0, s.end()
		}
		if !s.server.wait(s.nextPause()) {
			return 0, errCut
		}
		s.rest, s.events = s.events[0], s.events[1:]
		if len(s.events) == 0 && s.ending == endWhole {
			s.counted = true // before the client has it
			s.count.answer(s.usage)
		}
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

func (s *stream) nextPause() time.Duration {
	if s.uneven == nil || s.pause == 0 {
		return s.pause
	}
	return time.Duration((0.5 + s.uneven.Float64()) * float64(s.pause))
}

// end does what comes after the last event.
func (s *stream) end() error {
	switch s.ending {
	case endStall:
		awaitGone(s.conn)
		return errCut
	case endReset:
		s.Close() // counts before the client knows
		reset(s.conn)
		return errCut
	case endCut:
		s.Close()
	}
	return io.EOF
}

// Close counts a stream that has not counted yet as cut. fasthttp calls it when the stream is over, however it ended.
func (s *stream) Close() error {
	if !s.counted {
		s.counted = true
		s.count.cut(s.usage)
	}
	return nil
}

// answerStream answers with events, the fault of the call's behaviour worked into them.
func (c *call) answerStream(w wire, events [][]byte, usage Usage, pause time.Duration, uneven *rand.Rand) {
	events, ending := c.behaviour.spoil(w, events)
	c.sendStream(w, events, ending, usage, pause, uneven)
}

// sendStream answers with events as they are.
func (c *call) sendStream(w wire, events [][]byte, ending ending, usage Usage, pause time.Duration, uneven *rand.Rand) {
	c.head(w.contentType)
	if c.behaviour.Pause > 0 {
		pause, uneven = c.behaviour.Pause, nil
	}
	// A client must see the stream begin even when no event comes.
	c.ctx.Response.ImmediateHeaderFlush = len(events) == 0
	c.ctx.Response.SetBodyStream(&stream{
		server: c.Server, conn: c.ctx.Conn(), count: c.count, usage: usage,
		events: events, pause: pause, uneven: uneven, ending: ending,
	}, -1)
}

// spoil works a behaviour's fault into the events of a stream. It leaves the given slice as it is.
func (b Behaviour) spoil(w wire, events [][]byte) ([][]byte, ending) {
	after := min(max(b.After, 0), len(events)-1)
	before := slices.Clip(events[:after])
	switch b.Fault {
	case FaultReset:
		return before, endReset
	case FaultStall:
		return before, endStall
	case FaultTruncate:
		torn := events[after]
		return append(before, torn[:len(torn)/2]), endCut
	case FaultErrorEvent:
		return append(before, w.failure(after)), endCut
	case FaultMalformed:
		return append(append(before, w.malformed), events[after+1:]...), endWhole
	}
	return events, endWhole
}

// answerWhole answers with a JSON document that is not streamed, the fault of the call's behaviour worked into it.
func (c *call) answerWhole(document []byte, usage Usage) {
	c.answerAs("application/json", document, usage)
}

// answerAs does so with a document of another kind.
func (c *call) answerAs(contentType string, document []byte, usage Usage) {
	switch c.behaviour.Fault {
	case FaultErrorEvent:
		c.fail(serverError())
		return
	case FaultStall:
		c.count.cut(usage)
		awaitGone(c.ctx.Conn())
		return
	case FaultReset:
		c.count.cut(usage)
		c.head(contentType)
		c.ctx.Response.Header.SetContentLength(len(document))
		conn := c.ctx.Conn()
		conn.Write(slices.Concat(c.ctx.Response.Header.Header(), document[:len(document)/2]))
		reset(conn)
		return
	case FaultTruncate:
		c.count.cut(usage)
		document = document[:len(document)/2]
	case FaultMalformed:
		c.count.cut(usage)
		document = []byte("<html><body>502 Bad Gateway</body></html>")
	default:
		c.count.answer(usage)
	}
	c.head(contentType)
	c.ctx.Response.SetBodyRaw(document)
}
