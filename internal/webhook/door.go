package webhook

import (
	"context"
	"errors"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/secret"
)

// Destinations keeps destinations with their sealed access.
type Destinations interface {
	// SendingChannel gives one that is not deleted, whoever it belongs to; else a fault of kind NotFound.
	SendingChannel(ctx context.Context, id int64) (alert.Destination, error)
}

// What a Door may say besides what its store says.
var (
	ErrGone   = errors.New("the channel was deleted")
	ErrSealed = errors.New("the channel's access does not open: FILAIA_SECRET_KEY is another one")
)

// NewDoors opens what is kept with box.
func NewDoors(kept Destinations, box *secret.Box) Doors { return doors{kept, box} }

type doors struct {
	kept Destinations
	box  *secret.Box
}

func (o doors) Door(ctx context.Context, id int64) (alert.Destination, alert.Access, error) {
	d, err := o.kept.SendingChannel(ctx, id)
	if fault.Is(err, fault.NotFound) {
		return d, alert.Access{}, ErrGone
	}
	if err != nil {
		return d, alert.Access{}, err
	}
	plain, err := o.box.Open(d.Sealed, d.SealedAs())
	if err != nil {
		return d, alert.Access{}, ErrSealed
	}
	a, err := alert.ReadAccess(plain)
	if err != nil {
		return d, alert.Access{}, ErrSealed // the error would show what was read
	}
	return d, a, nil
}
