package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
)

// sign sets the headers of Standard Webhooks (https://www.standardwebhooks.com): the id is the same for every attempt, the
// time is this attempt's, and there is a signature for every secret that holds.
func sign(h http.Header, id string, at time.Time, body []byte, secrets []string) error {
	if len(secrets) == 0 {
		return errors.New("the channel has no signing secret")
	}
	stamp := strconv.FormatInt(at.Unix(), 10)
	signatures := make([]string, len(secrets))
	for i, secret := range secrets {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, alert.SigningPrefix))
		if err != nil || len(key) == 0 {
			return errors.New("the channel's signing secret is broken") // the cause would show it
		}
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + stamp + "."))
		mac.Write(body)
		signatures[i] = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	h.Set("webhook-id", id)
	h.Set("webhook-timestamp", stamp)
	h.Set("webhook-signature", strings.Join(signatures, " "))
	return nil
}
