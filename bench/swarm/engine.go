package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// engine is Docker's API, as far as looking goes.
type engine struct{ http *http.Client }

// container is one that runs.
type container struct {
	ID       string `json:"Id"`
	Networks struct {
		Networks map[string]struct{ IPAddress string }
	} `json:"NetworkSettings"`
}

func newEngine(host string) (*engine, error) {
	path, ok := strings.CutPrefix(host, "unix://")
	if !ok {
		return nil, fmt.Errorf("DOCKER_HOST is %q: want unix:///path", host)
	}
	return &engine{&http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}}, nil
}

// list returns the running containers with a label.
func (e *engine) list(ctx context.Context, label string) (all []container, err error) {
	filters, err := json.Marshal(map[string][]string{"label": {label}})
	if err != nil {
		return nil, err
	}
	body, err := e.call(ctx, http.MethodGet, "/containers/json?filters="+url.QueryEscape(string(filters)))
	if err != nil {
		return nil, err
	}
	return all, json.Unmarshal(body, &all)
}

// nth is the ID of one of them, the k-th from the newest on; k may be larger than
// their number.
func (e *engine) nth(ctx context.Context, label string, k int) (string, error) {
	all, err := e.list(ctx, label)
	if err != nil {
		return "", err
	}
	if len(all) == 0 {
		return "", fmt.Errorf("no container has %s", label)
	}
	return all[k%len(all)].ID, nil
}

func (e *engine) kill(ctx context.Context, id string) error {
	_, err := e.call(ctx, http.MethodPost, "/containers/"+id+"/kill")
	return err
}

func (e *engine) call(ctx context.Context, method, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://docker"+path, nil)
	if err != nil {
		return nil, err
	}
	res, err := e.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s: %s", method, path, res.Status, body)
	}
	return body, err
}

// address is where a container can be asked; "" before it has a network.
func (c container) address() string {
	for _, n := range c.Networks.Networks {
		if n.IPAddress != "" {
			return net.JoinHostPort(n.IPAddress, "8080")
		}
	}
	return ""
}
