package images

import (
	"maps"
	"slices"
	"time"
)

// asks reports whether the leader is asked first which images may go. Its answer
// makes Run look again; a leader that is away, or too old to know the question, is
// waited for no longer than until the next look.
func (k *Keeper) asks(present map[string]bool, now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	doubtful := stock{k.used, present, k.words}.doubtful(now)
	k.asked = len(doubtful) > 0 && !k.asked
	if k.asked {
		k.question = doubtful
	}
	return k.asked
}

// Question returns what the leader is to be asked about, once, and how many
// releases of each app are wanted at hand.
func (k *Keeper) Question() (images []string, keep int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	images, k.question = k.question, nil
	return images, k.cfg.Keep
}

// Answered takes in what the leader says: which images are needed, and which
// nobody needs. Of what is in neither it knows nothing.
func (k *Keeper) Answered(needed, free []string, now time.Time) {
	k.mu.Lock()
	for _, image := range needed {
		k.say(image, word{needed: true, at: now})
	}
	for _, image := range free {
		k.say(image, word{at: now})
	}
	k.mu.Unlock()
	select {
	case k.answer <- struct{}{}:
	default:
	}
}

// say notes the leader's word on an image that was used here; the zero word is
// none. It needs mu.
func (k *Keeper) say(image string, w word) {
	old := k.words[image]
	if _, used := k.used[image]; !used || w == (word{}) {
		delete(k.words, image)
		w = word{}
	} else {
		k.words[image] = w
	}
	k.unkept = k.unkept || old.needed != w.needed
}

// putNeeded writes down which images are needed, for as long as no leader can be
// asked, when that changed.
func (k *Keeper) putNeeded() {
	k.mu.Lock()
	due, needed := k.unkept, k.needed()
	k.mu.Unlock()
	if !due {
		return
	}
	if err := k.ledger.PutNeeded(needed); err != nil {
		k.log.Warn("needed images not written down", "err", err)
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.unkept = !slices.Equal(needed, k.needed())
}

func (k *Keeper) needed() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(k.words)), func(image string) bool { return !k.words[image].needed })
}
