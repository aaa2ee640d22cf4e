package store

import (
	"context"
	"database/sql/driver"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/lib/pq"

	"github.com/fila-ia/filaia/internal/usage"
)

// Events are copied in, not inserted: COPY reads a row at a time and writes a page at a time, which costs PostgreSQL
// half of what an INSERT of the same rows from arrays does, and the batch is one message instead of a parameter a column.

// errDuplicates rolls back a batch that holds events which are there already.
var errDuplicates = errors.New("events already committed")

// insertEvents adds events that are all new; otherwise it gives errDuplicates, and the transaction is lost.
func (t *tx) insertEvents(ctx context.Context, events []usage.Event, charges []int64) error {
	const into = `COPY usage_events (id, created_at, tenant_id, key_id, period_id, model, endpoint, status, http_status, streamed, estimated,
		input_tokens, cached_tokens, output_tokens, reasoning_tokens, cost_usd_micros, charge_brl_micros, latency_ms, first_byte_ms,
		request_id, provider_id, provider, cache, served_input, served_output, saved_usd_micros) FROM STDIN`
	var text strings.Builder
	row := make([]byte, 0, 512)
	for i := range events {
		row = appendEvent(row[:0], &events[i], charges[i])
		if i == 0 {
			text.Grow((len(row) + len(row)/8) * len(events)) // rows are much alike
		} else {
			text.WriteByte('\n')
		}
		text.Write(row)
	}
	err := t.copyIn(ctx, into, text.String())
	var refused *pq.Error
	if errors.As(err, &refused) && refused.Code.Name() == "unique_violation" {
		return errDuplicates
	}
	if err != nil {
		return fmt.Errorf("insert events: %w", err)
	}
	return nil
}

// appendEvent writes an event's row in the columns' order, without the end of the line.
func appendEvent(b []byte, e *usage.Event, charge int64) []byte {
	b = hex.AppendEncode(b, e.ID[:])                                                     // PostgreSQL needs no dashes
	b = e.CreatedAt.UTC().AppendFormat(append(b, '\t'), "2006-01-02 15:04:05.000000+00") // it keeps microseconds
	for _, n := range [...]int64{e.TenantID, e.KeyID, e.PeriodID} {
		b = strconv.AppendInt(append(b, '\t'), n, 10)
	}
	b = appendCopied(append(b, '\t'), e.Model)
	b = appendCopied(append(b, '\t'), e.Endpoint)
	b = append(append(b, '\t'), e.Status.String()...)
	b = strconv.AppendInt(append(b, '\t'), int64(e.HTTPStatus), 10)
	b = append(b, '\t', letter(e.Streamed), '\t', letter(e.Estimated))
	for _, n := range [...]int64{
		e.Tokens.Input, e.Tokens.Cached, e.Tokens.Output, e.Tokens.Reasoning, int64(e.CostUSD), charge, e.LatencyMS, e.FirstByteMS,
	} {
		b = strconv.AppendInt(append(b, '\t'), n, 10)
	}
	b = appendCopied(append(b, '\t'), e.RequestID)
	b = appendCopied(append(b, '\t'), e.ProviderID)
	b = appendCopied(append(b, '\t'), e.Provider)
	b = append(append(b, '\t'), e.Cache.String()...)
	for _, n := range [...]int64{e.Served.Input, e.Served.Output, int64(e.SavedUSD)} {
		b = strconv.AppendInt(append(b, '\t'), n, 10)
	}
	return b
}

func letter(b bool) byte {
	if b {
		return 't'
	}
	return 'f'
}

// appendCopied escapes a text for COPY. What PostgreSQL's text cannot hold, a NUL and bytes that are no UTF-8, is
// dropped: some texts come from the provider, and none of them may keep an event from being counted.
func appendCopied(b []byte, s string) []byte {
	s = strings.ToValidUTF8(s, "")
	for i := range len(s) {
		switch c := s[i]; c {
		case 0:
		case '\\':
			b = append(b, '\\', '\\')
		case '\t':
			b = append(b, '\\', 't')
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		default:
			b = append(b, c)
		}
	}
	return b
}

// copyIn runs a COPY FROM STDIN in the transaction, with all its rows as text.
func (t *tx) copyIn(ctx context.Context, statement, rows string) (err error) {
	// The error does not pass through Raw: of a bad one that would close the connection, and wait for this transaction's end.
	raw := t.conn.Raw(func(conn any) error {
		err = copyRows(ctx, conn, statement, rows)
		return nil
	})
	return errors.Join(err, raw)
}

func copyRows(ctx context.Context, conn any, statement, rows string) error {
	s, err := conn.(driver.ConnPrepareContext).PrepareContext(ctx, statement)
	if err != nil {
		return err
	}
	defer s.Close()
	in, ok := s.(interface {
		driver.Stmt
		CopyData(ctx context.Context, line string) (driver.Result, error)
	})
	if !ok {
		return fmt.Errorf("the driver copies nothing in: %T", s)
	}
	// Lib/pq waits for the end of a COPY whatever becomes of the context.
	if l, ok := conn.(*link); ok {
		defer context.AfterFunc(ctx, func() { l.dialer.endBy(time.Now()) })()
	}
	if _, err := in.CopyData(ctx, rows); err != nil {
		return err
	}
	_, err = in.Exec(nil) // how lib/pq ends a COPY
	return errors.Join(err, ctx.Err())
}
