package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"testing"
)

// errCut is a connection that breaks in the middle of a result.
var errCut = errors.New("connection reset by peer")

// cutDriver is a database whose results have three rows and then the given end.
type cutDriver struct {
	end    error
	closed *int
}

func (d cutDriver) Connect(context.Context) (driver.Conn, error) { return d, nil }
func (d cutDriver) Driver() driver.Driver                        { return nil }
func (d cutDriver) Prepare(string) (driver.Stmt, error)          { return d, nil }
func (d cutDriver) Begin() (driver.Tx, error)                    { return nil, errors.New("no transactions here") }
func (d cutDriver) Close() error                                 { return nil }
func (d cutDriver) NumInput() int                                { return -1 }
func (d cutDriver) Exec([]driver.Value) (driver.Result, error)   { return driver.RowsAffected(0), nil }
func (d cutDriver) Query([]driver.Value) (driver.Rows, error)    { return &cutRows{d: d}, nil }

type cutRows struct {
	d cutDriver
	n int
}

func (r *cutRows) Columns() []string { return []string{"v"} }

func (r *cutRows) Close() error {
	*r.d.closed++
	return nil
}

func (r *cutRows) Next(into []driver.Value) error {
	if r.n++; r.n > 3 {
		return r.d.end
	}
	into[0] = int64(r.n)
	return nil
}

// A result that was cut off is an error, never a shorter list (DEFECT 1), and
// its rows are closed however the reading ends (DEFECT 23).
func TestList_CutResultIsAnError(t *testing.T) {
	t.Parallel()
	scanInt := func(r scanner) (v int64, err error) { return v, r.Scan(&v) }
	odd := errors.New("odd row")
	for name, c := range map[string]struct {
		end  error
		scan func(scanner) (int64, error)
		err  error
		n    int
	}{
		"whole":      {io.EOF, scanInt, nil, 3},
		"cut":        {errCut, scanInt, errCut, 0},
		"bad row":    {io.EOF, func(scanner) (int64, error) { return 0, odd }, odd, 0},
		"wrong type": {io.EOF, func(r scanner) (int64, error) { var b []string; return 0, r.Scan(&b) }, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			closed := 0
			db := sql.OpenDB(cutDriver{end: c.end, closed: &closed})
			defer db.Close()
			got, err := list(t.Context(), db, c.scan, `SELECT v`)
			if c.err != nil && !errors.Is(err, c.err) || name == "wrong type" && err == nil || len(got) != c.n {
				t.Errorf("got %v, %v; want %d rows, %v", got, err, c.n, c.err)
			}
			if closed != 1 {
				t.Errorf("the rows were closed %d times", closed)
			}
		})
	}
}

// No reader of many rows may hand on the part that came: each method of the
// store is run over results that break.
func TestStore_CutResultsAreErrorsEverywhere(t *testing.T) {
	t.Parallel()
	closed := 0
	s := &Store{db: sql.OpenDB(cutDriver{end: errCut, closed: &closed})}
	defer s.Close()
	ctx := t.Context()
	for name, read := range map[string]func() (int, error){
		"World":     func() (int, error) { w, err := s.World(ctx); return len(w.Instances), err },
		"Instances": func() (int, error) { v, err := s.Instances(ctx, "a"); return len(v), err },
		"Apps":      func() (int, error) { v, err := s.Apps(ctx, nil, "", 0); return len(v), err },
		"Nodes":     func() (int, error) { v, err := s.Nodes(ctx); return len(v), err },
		"Domains":   func() (int, error) { v, err := s.Domains(ctx, ""); return len(v), err },
		"Releases":  func() (int, error) { v, err := s.ReleasesByID(ctx, []string{"a"}); return len(v), err },
		"Wish":      func() (int, error) { v, err := s.Wish(ctx); return len(v.Apps), err },
	} {
		if n, err := read(); err == nil || n != 0 {
			t.Errorf("%s gave %d rows of a broken result, %v", name, n, err)
		}
	}
}
