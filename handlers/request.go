package handlers

import (
	"net/url"
	"strconv"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// idParam reads a numeric part of the path. What is no id leads to no page.
func idParam(c *fiber.Ctx, name string) (int64, error) {
	id, err := strconv.ParseInt(c.Params(name), 10, 64)
	if err != nil || id <= 0 {
		return 0, fault.New(fault.NotFound, "problem.no_page")
	}
	return id, nil
}

// queryValues is the address's query.
func queryValues(c *fiber.Ctx) url.Values {
	values := url.Values{}
	c.Context().QueryArgs().VisitAll(func(name, value []byte) { values.Add(string(name), string(value)) })
	return values
}

// listQuery reads what a list page was asked for: q, status, sort, dir, page.
func listQuery(c *fiber.Ctx) tenancy.ListQuery {
	page, err := strconv.Atoi(c.Query("page"))
	if err != nil || page < 1 || page > 1_000_000 {
		page = 1
	}
	return tenancy.ListQuery{
		Search: short(c.Query("q"), 200), Status: c.Query("status"), Sort: c.Query("sort"), Desc: c.Query("dir") == "desc", Page: page,
	}
}
