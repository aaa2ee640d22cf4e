package openaitest

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
)

// The sound that the server makes is silence; what it is given it only measures.

const (
	pcmRate       = 24_000 // samples of 16 bits a second, one channel
	pcmBytes      = 2 * pcmRate
	guessedRate   = 16_000 // bytes a second of audio that is not WAV, as of an MP3 of 128 kbit/s
	shortestSound = 0.1    // seconds
)

// secondsOf returns how long a recording is: read from a WAV file, guessed by the size of others.
func secondsOf(audio []byte) float64 {
	seconds := float64(len(audio)) / guessedRate
	if rate, data, ok := wavOf(audio); ok {
		seconds = float64(data) / float64(rate)
	}
	return math.Round(max(seconds, shortestSound)*100) / 100
}

// wavOf finds the bytes a second of a WAV file and the length of its samples.
func wavOf(audio []byte) (rate, data int, ok bool) {
	if len(audio) < 12 || string(audio[:4]) != "RIFF" || string(audio[8:12]) != "WAVE" {
		return 0, 0, false
	}
	for at := 12; at+8 <= len(audio); {
		size := int(binary.LittleEndian.Uint32(audio[at+4:]))
		switch string(audio[at : at+4]) {
		case "fmt ":
			if at+20 <= len(audio) {
				rate = int(binary.LittleEndian.Uint32(audio[at+16:]))
			}
		case "data":
			// A streamed file does not know its size: the header holds the largest number then.
			return rate, min(size, len(audio)-at-8), rate > 0
		}
		at += 8 + size + size%2
	}
	return 0, 0, false
}

// audioTypes are the content types of the formats of speech.
var audioTypes = map[string]string{
	"mp3": "audio/mpeg", "opus": "audio/ogg", "aac": "audio/aac", "flac": "audio/flac", "wav": "audio/wav", "pcm": "audio/pcm",
}

// silence returns a recording of some seconds without a sound. MP3, WAV and PCM can be played; of the others only the first
// bytes are as they must be, since nothing here encodes them.
func silence(format string, seconds float64) []byte {
	samples := int(seconds * pcmRate)
	switch format {
	case "pcm":
		return make([]byte, 2*samples)
	case "wav":
		return slices.Concat(wavHeader(2*samples), make([]byte, 2*samples))
	case "mp3":
		return bytes.Repeat(silentMP3Frame(), samples/mp3FrameSamples+1)
	}
	head := map[string]string{"opus": "OggS", "aac": "\xff\xf1\x50\x80", "flac": "fLaC"}[format]
	return slices.Concat([]byte(head), make([]byte, int(seconds*guessedRate/4)))
}

func wavHeader(data int) []byte {
	b := []byte("RIFF")
	b = binary.LittleEndian.AppendUint32(b, uint32(36+data))
	b = append(b, "WAVEfmt "...)
	b = binary.LittleEndian.AppendUint32(b, 16)
	b = binary.LittleEndian.AppendUint16(b, 1) // PCM
	b = binary.LittleEndian.AppendUint16(b, 1) // channel
	b = binary.LittleEndian.AppendUint32(b, pcmRate)
	b = binary.LittleEndian.AppendUint32(b, pcmBytes)
	b = binary.LittleEndian.AppendUint16(b, 2)  // bytes of a sample
	b = binary.LittleEndian.AppendUint16(b, 16) // bits of it
	b = append(b, "data"...)
	return binary.LittleEndian.AppendUint32(b, uint32(data))
}

// An MPEG-2 layer III frame at 24 kHz and 64 kbit/s, one channel: its side information and data are zeros, which is silence.
const (
	mp3FrameSamples = 576
	mp3FrameBytes   = 72 * 64_000 / pcmRate
)

func silentMP3Frame() []byte {
	frame := make([]byte, mp3FrameBytes)
	copy(frame, []byte{0xff, 0xf3, 0x84, 0xc4})
	return frame
}
