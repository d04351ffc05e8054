package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/dinp/dinp/common/model"
)

func TestCertificates_ArePutReplacedAndDeleted(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		until := time.UnixMilli(1_900_000_000_000).UTC()
		check(t, s.PutCertificate(ctx, model.Certificate{Host: "*.a.example", Source: model.Uploaded, Chain: "c1", SealedKey: "k1", NotAfter: until}, admin))
		check(t, s.PutCertificate(ctx, model.Certificate{Host: "b.example", Source: model.ByACME}, admin))
		check(t, s.PutCertificate(ctx, model.Certificate{Host: "*.a.example", Source: model.Uploaded, Chain: "c2", SealedKey: "k2", NotAfter: until}, admin))
		all, err := s.Certificates(ctx)
		check(t, err)
		if len(all) != 2 || all[0].Chain != "c2" || all[0].Generation != 2 || !all[0].NotAfter.Equal(until) || all[1].Generation != 1 || all[1].Source != model.ByACME {
			t.Errorf("%+v", all)
		}
		check(t, s.DeleteCertificate(ctx, "*.a.example", admin))
		wantCode(t, s.DeleteCertificate(ctx, "*.a.example", admin), model.CodeNotFound)
	})
}

func TestCertificates_WhatWasChangedMeanwhileIsNotOverwrittenByAnIssue(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		check(t, s.PutCertificate(ctx, model.Certificate{Host: "b.example", Source: model.ByACME}, admin))
		try := time.UnixMilli(1_800_000_000_000).UTC()
		check(t, s.CertificateFailed(ctx, "b.example", 1, "no answer", try))
		all, err := s.Certificates(ctx)
		check(t, err)
		if c := all[0]; c.Failure != "no answer" || c.Failures != 1 || !c.TryAt.Equal(try) || c.Generation != 1 {
			t.Errorf("after a failure: %+v", c)
		}
		issued := model.Certificate{Host: "b.example", Chain: "issued", SealedKey: "k", NotAfter: try, Generation: 1}
		check(t, s.PutCertificate(ctx, model.Certificate{Host: "b.example", Source: model.Uploaded, Chain: "mine"}, admin))
		if kept, err := s.CertificateIssued(ctx, issued); err != nil || kept {
			t.Errorf("kept %v, %v", kept, err)
		}
		issued.Generation = 2
		if kept, err := s.CertificateIssued(ctx, issued); err != nil || !kept {
			t.Errorf("kept %v, %v", kept, err)
		}
		all, err = s.Certificates(ctx)
		check(t, err)
		if c := all[0]; c.Chain != "issued" || c.Failures != 0 || c.Generation != 3 {
			t.Errorf("after an issue: %+v", c)
		}
	})
}

func TestACMEAccount_TheFirstKeyStays(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		for i := range 3 {
			key, err := s.ACMEAccount(t.Context(), "https://ca.example/dir", fmt.Sprint("key", i))
			if err != nil || key != "key0" {
				t.Errorf("%q %v", key, err)
			}
		}
	})
}
