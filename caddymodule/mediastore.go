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
}

const mediaFile = "file"

// store opens nothing: a store need not be there before somebody asks for a file.
func (s mediaSettings) store() media.Store { return &mediastore.Dir{Path: s.dir} }

// check refuses what is wrong as it is written.
func (m *Media) check() error {
	switch {
	case m == nil || m.Backend == "" || m.Backend == mediaFile:
		return nil
	case m.Backend == "s3":
		return fmt.Errorf("media s3: %sleave it out, or write `media file <directory>`", notYet)
	}
	return fmt.Errorf("media %q is not known: write `media file <directory>`", m.Backend)
}

// resolveMedia reads the settings; what the configuration leaves out comes from authentik's
// variables, those of media before those of all files. data is where all else is kept.
func (a *App) resolveMedia(env lookup, data string) (s mediaSettings, err error) {
	const ofMedia, ofAll = "AUTHENTIK_STORAGE__MEDIA__", "AUTHENTIK_STORAGE__"
	value := func(name string) (from, value string) {
		for _, from := range []string{ofMedia + name, ofAll + name} {
			if v := envValue(env, from); v != "" {
				return from, v
			}
		}
		return "", ""
	}
	var given Media
	if a.Media != nil {
		given = *a.Media
	}
	if given.Backend == "" {
		if from, backend := value("BACKEND"); backend != "" && backend != mediaFile {
			return s, fmt.Errorf("the environment's %s=%s: media in %s: %sunset the variable", from, backend, backend, notYet)
		}
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
	if from, life := value("FILE__URL_EXPIRY"); life != "" {
		if s.life, err = core.Timedelta(life).Duration(); err != nil {
			return s, fmt.Errorf("the environment's %s: %w", from, err)
		}
		if s.life < media.MinLife || s.life > media.MaxLife {
			return s, fmt.Errorf("the environment's %s: a URL of a file is good for %s to %s, and not for %s: write for example minutes=15", from, media.MinLife, media.MaxLife, s.life)
		}
	}
	return s, nil
}
