package v1_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/openaitest"
)

func TestASoundComesInPiecesBeforeTheProviderHasEnded(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	s.provider.Next(openaitest.Behaviour{Fault: openaitest.FaultStall, After: 3})
	res := s.speak(strings.Repeat("Bom dia. ", 100))
	if got := res.Header.Get("Content-Type"); got != "audio/pcm" {
		t.Errorf("content type %q", got)
	}
	if _, err := io.ReadFull(res.Body, make([]byte, 2*4096)); err != nil { // the third piece may be the last, and waits
		t.Fatal(err)
	}
	s.records(0)
	s.provider.Close()
}

// TestTheEndOfASoundComesAfterItsRecord: answered means recorded.
func TestTheEndOfASoundComesAfterItsRecord(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	disk := &failing{gatewayLedger: s.ledger}
	s.gate.Ledger = disk
	res := s.speak("Bom dia.")
	whole, err := io.ReadAll(res.Body)
	if err != nil || len(whole) == 0 {
		t.Fatal(len(whole), err)
	}
	s.records(1)
	disk.refuse.Store(true)
	part, err := io.ReadAll(s.speak("Bom dia.").Body)
	if !errors.Is(err, io.ErrUnexpectedEOF) || len(part) >= len(whole) || strings.Contains(string(part), "error") {
		t.Errorf("a sound that was not recorded ended well: %d of %d bytes, %v", len(part), len(whole), err)
	}
}

func TestASoundThatBreaksOffBreaksOff(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	s.provider.Next(openaitest.Behaviour{Fault: openaitest.FaultReset, After: 3})
	part, err := io.ReadAll(s.speak(strings.Repeat("Bom dia. ", 100)).Body)
	if !errors.Is(err, io.ErrUnexpectedEOF) || strings.Contains(string(part), "error") {
		t.Errorf("%d bytes, %v", len(part), err)
	}
	if r := s.records(1)[0]; r.Status != "error" {
		t.Errorf("%+v", r)
	}
	s.unheld()
}

// TestATextPassesWhereAStreamWasAskedFor: whisper ignores the wish.
func TestATextPassesWhereAStreamWasAskedFor(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	for n, format := range []string{"text", "srt", "vtt", "json", "verbose_json"} {
		for i, stream := range []string{"false", "true", "True", "1"} {
			f := newForm().field("model", "whisper-1").field("response_format", format).field("stream", stream).file("file", "a.mp3", strings.Repeat("\xff\x00", 20_000))
			s.provider.Next(openaitest.Behaviour{Text: `{"usage":{"input_tokens":99}} disse "ela"`})
			a := s.send(http.MethodPost, "/audio/transcriptions", s.key, f.contentType(), f.String())
			if isJSON := strings.HasPrefix(a.header.Get("Content-Type"), "application/json"); a.status != 200 || isJSON != strings.Contains(format, "json") {
				t.Errorf("%s: %d %s %q", format, a.status, a.header.Get("Content-Type"), a.body)
			}
			if strings.Contains(a.body, "data: ") || strings.Contains(a.body, `"error"`) || format == "text" && a.body != "{\"usage\":{\"input_tokens\":99}} disse \"ela\"\n" {
				t.Errorf("%s, stream=%s: %q", format, stream, a.body)
			}
			if r := s.records(4*n + i + 1)[4*n+i]; r.Status != "ok" || r.In != 0 || r.Out != 0 || r.Estimated {
				t.Errorf("%s: what was said is not a usage: %+v", format, r)
			}
		}
	}
	s.unheld()
}

func TestATranscriptOfAModelWithTokensCountsThem(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{TokensPerSecond: 2000})
	f := newForm().field("model", "gpt-4o-mini-transcribe").field("stream", "true").file("file", "a.wav", strings.Repeat("\xff\x00", 80_000))
	began := time.Now()
	a := s.send(http.MethodPost, "/audio/transcriptions", s.key, f.contentType(), f.String())
	if a.status != 200 || !strings.Contains(a.body, "transcript.text.done") {
		t.Errorf("%d %s after %s", a.status, a.body, time.Since(began))
	}
	if r, stats := s.records(1)[0], s.provider.Stats(); r.In != stats.PromptTokens || r.Out != stats.CompletionTokens || r.Out == 0 || !r.Streamed {
		t.Errorf("%+v; %+v", r, stats)
	}
	s.unheld()
}

// TestASoundOfAModelWithoutATokenPriceCountsNone: it is paid by the request.
func TestASoundOfAModelWithoutATokenPriceCountsNone(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	if a := s.do(http.MethodPost, "/audio/speech", s.key, `{"model":"tts-1","voice":"alloy","input":"Bom dia."}`); a.status != 200 || a.body == "" {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if r := s.records(1)[0]; r.Status != "ok" || r.In != 0 || r.Out != 0 || r.Estimated {
		t.Errorf("%+v", r)
	}
	s.unheld()
}
