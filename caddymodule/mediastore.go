package caddymodule

import (
	"cmp"
	"fmt"
	"path/filepath"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/media"
	"github.com/postern-sso/postern/storage/mediastore"
)

// mediaSettings say where files are, and how long their URLs are good.
type mediaSettings struct {
	dir  string // absolute
	life time.Duration
	s3   mediastore.S3Options // in the place of dir, where it has a bucket
}

const mediaFile = "file"

// store opens nothing: a store need not be there before somebody asks for a file. A reload that changes
// nothing of it goes on with what is in memory of it.
func (sh *shared) store(s mediaSettings) (media.Store, error) {
	if s.s3.Bucket == "" {
		return &mediastore.Dir{Path: s.dir}, nil
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if b := sh.bucket.Load(); b != nil && sh.bucketOf == s.s3 {
		return b, nil
	}
	made, err := mediastore.NewS3(s.s3)
	if err != nil {
		return nil, fmt.Errorf("media s3: %w", err)
	}
	sh.bucket.Store(made)
	sh.bucketOf = s.s3
	return made, nil
}

// check refuses what is wrong as it is written.
func (m *Media) check() error {
	switch {
	case m == nil || m.Backend == "" || m.Backend == mediaFile:
		return nil
	case m.Backend == mediaS3:
		return m.checkS3()
	}
	return fmt.Errorf("media %q is not known: write `media file <directory>` or `media s3 { … }`", m.Backend)
}

// Authentik's variables of media, and those of all files.
const ofMedia, ofAll = "AUTHENTIK_STORAGE__MEDIA__", "AUTHENTIK_STORAGE__"

// mediaValue is what the environment says of a setting, and in which variable.
func mediaValue(env lookup, name string) (from, value string) {
	for _, from := range []string{ofMedia + name, ofAll + name} {
		if v := envValue(env, from); v != "" {
			return from, v
		}
	}
	return "", ""
}

// resolveMedia reads the settings; what the configuration leaves out comes from authentik's
// variables, those of media before those of all files. data is where all else is kept.
func (a *App) resolveMedia(env lookup, data string) (s mediaSettings, err error) {
	value := func(name string) (from, value string) { return mediaValue(env, name) }
	var given Media
	if a.Media != nil {
		given = *a.Media
	}
	if given.Backend == "" {
		from, backend := value("BACKEND")
		if given.Backend = backend; backend != "" && backend != mediaFile && backend != mediaS3 {
			return s, fmt.Errorf("the environment's %s=%s is not known: set it to file or s3", from, backend)
		}
	}
	expiry := "FILE__URL_EXPIRY"
	if given.Backend == mediaS3 {
		expiry = "S3__URL_EXPIRY"
		if s.s3, err = given.resolveS3(env); err != nil {
			return s, err
		}
		s.s3.Cache = filepath.Join(data, "media-cache")
	}
	name, dir := "media", given.Dir
	if dir == "" {
		if name, dir = value("FILE__PATH"); name == ofAll+"FILE__PATH" {
			dir = filepath.Join(dir, "media") // beside which authentik keeps other files
		}
	}
	if dir, err = reference(env, name, dir); err != nil {
		return s, err
	}
	if s.dir, err = filepath.Abs(cmp.Or(dir, filepath.Join(data, "media"))); err != nil {
		return s, fmt.Errorf("media: %w", err)
	}
	s.life = media.DefaultLife
	if from, life := value(expiry); life != "" {
		if s.life, err = core.Timedelta(life).Duration(); err != nil {
			return s, fmt.Errorf("the environment's %s: %w", from, err)
		}
		if s.life < media.MinLife || s.life > media.MaxLife {
			return s, fmt.Errorf("the environment's %s: a URL of a file is good for %s to %s, and not for %s: write for example minutes=15", from, media.MinLife, media.MaxLife, s.life)
		}
	}
	return s, nil
}
