package traffic

// Watch begins to add up an app's answers by release, from nothing, for as long
// as it takes: Window is too short to judge a release that gets few requests.
func (l *Log) Watch(app string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.watches == nil {
		l.watches = map[string]map[int]*Tally{}
	}
	l.watches[app] = map[int]*Tally{}
}

// Unwatch ends it.
func (l *Log) Unwatch(app string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.watches, app)
}

// Watched is what was counted of an app's release since Watch.
func (l *Log) Watched(app string, release int) Tally {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.watches[app][release]; t != nil {
		return *t
	}
	return Tally{}
}

// watched adds an answer to those of a watch.
func (l *Log) watched(k key, t *Tally) {
	w := l.watches[k.app]
	if w == nil {
		return
	}
	if w[k.release] == nil {
		w[k.release] = &Tally{}
	}
	w[k.release].Add(t)
}
