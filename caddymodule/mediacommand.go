package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/storage/mediastore"
)

// mediaCommands are `caddy postern media …`.
func mediaCommands() []*cobra.Command {
	setup := &cobra.Command{
		Use: "setup", Short: "Makes the bucket that --config names, and tries whether everything that is needed works", Args: cobra.NoArgs, SilenceUsage: true,
		Long: `
Makes the bucket of ` + "`media s3`" + ` where it is not there, private; lets pages of all tenants
read from it (CORS); puts, reads and deletes a file; and fetches a signed URL of the custom
domain. It may be run again at any time, and says in words what is wrong.

The tenants' hosts are asked of the running server. Where none answers, say them: --origin.`,
		RunE: runMediaSetup,
	}
	setup.Flags().StringArray("origin", nil, "Origin whose pages may read from the bucket, such as https://auth.example.com; may be repeated (default: those of all tenants)")
	migrate := &cobra.Command{
		Use: "migrate --from <directory> | --to <directory>", Short: "Copies all files of all tenants into the bucket that --config names, or out of it", Args: cobra.NoArgs, SilenceUsage: true,
		Long: `
Copies the files of all tenants from a directory into the bucket of ` + "`media s3`" + `, or from the
bucket into a directory, and reads each again where it is now. Servers go on meanwhile. What is
there already is compared and left: one that was interrupted goes on, and after the configuration
is changed another one brings what came meanwhile. Nothing is deleted at either end.`,
		RunE: runMediaMigrate,
	}
	migrate.Flags().String("from", "", "Directory to copy from, such as /media")
	migrate.Flags().String("to", "", "Directory to copy to")
	return []*cobra.Command{setup, migrate}
}

// commandBucket is the bucket of --config, with a cache that goes at the end.
func commandBucket(cmd *cobra.Command) (ctx context.Context, bucket *mediastore.S3, end func() error, err error) {
	ctx, s, err := offlineSettings(cmd)
	if err != nil {
		return nil, nil, nil, err
	}
	if s.media.s3.Bucket == "" {
		return nil, nil, nil, errors.New("the configuration keeps media in a directory: write `media s3 { … }` into it, or set AUTHENTIK_STORAGE__MEDIA__BACKEND=s3")
	}
	dir, err := os.MkdirTemp("", "postern-media-")
	if err != nil {
		return nil, nil, nil, fmt.Errorf("make a temporary directory: %w", err)
	}
	o := s.media.s3
	o.Cache, o.CacheSize = dir, 1 // each file is read once
	bucket, err = mediastore.NewS3(o)
	return ctx, bucket, func() error { return os.RemoveAll(dir) }, err
}

func runMediaSetup(cmd *cobra.Command, _ []string) error {
	ctx, bucket, end, err := commandBucket(cmd)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	origins, err := cmd.Flags().GetStringArray("origin")
	for i := range origins {
		if origins[i], err = parseOrigin(origins[i]); err != nil {
			return errors.Join(fmt.Errorf("--%w", err), end())
		}
	}
	if err == nil && len(origins) == 0 {
		if origins, err = tenantOrigins(cmd); err != nil {
			fmt.Fprintf(out, "WARNING: the tenants' hosts are not known (%v): whose pages may read from the bucket (CORS) stays as it is. Run this again when the server runs, or say --origin.\n", err)
			err = nil
		}
	}
	if err == nil {
		err = bucket.Setup(ctx, origins, func(line string) { fmt.Fprintln(out, line) })
	}
	return errors.Join(err, end())
}

// tenantOrigins are the hosts of all tenants, as the running server knows them: all, or none and an error.
func tenantOrigins(cmd *cobra.Command) ([]string, error) {
	ctx, loaded, address, err := commandConfig(cmd)
	if err != nil {
		return nil, err
	}
	address, nobody, err := loaded.server(ctx, address, "the configuration")
	if err := errors.Join(err, nobody); err != nil {
		return nil, err
	}
	text, err := askServer(address, "", "tenants/list", nil)
	if err != nil {
		return nil, err
	}
	var all []tenantInfo
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	var origins []string
	for _, t := range all {
		for _, origin := range t.Origins {
			if !slices.Contains(origins, origin) {
				origins = append(origins, origin)
			}
		}
	}
	if len(origins) == 0 {
		return nil, errors.New("no tenant has a domain, and the configuration no origin")
	}
	return origins, nil
}

func runMediaMigrate(cmd *cobra.Command, _ []string) error {
	from, err := cmd.Flags().GetString("from")
	if err != nil {
		return err
	}
	to, err := cmd.Flags().GetString("to")
	if err != nil {
		return err
	}
	if (from == "") == (to == "") {
		return errors.New("say --from <directory> to copy into the bucket, or --to <directory> to copy out of it")
	}
	if from != "" {
		if _, err := os.ReadDir(from); err != nil { // one that is misspelled is not one without files
			return fmt.Errorf("--from: %w", err)
		}
	}
	dir, err := filepath.Abs(from + to)
	if err != nil {
		return err
	}
	ctx, bucket, end, err := commandBucket(cmd)
	if err != nil {
		return err
	}
	var source, target mediastore.Tenanted = &mediastore.Dir{Path: dir}, bucket
	if to != "" {
		source, target = target, source
	}
	out := cmd.OutOrStdout()
	done, err := mediastore.Copy(ctx, source, target, func(t core.TenantID) { fmt.Fprintf(out, "%s: done\n", t) })
	fmt.Fprintf(out, "Copied and read again: %d files, %d bytes. The same already: %d. Changed there since, and left: %d.\n", done.Copied, done.Bytes, done.Same, done.Newer)
	if err != nil {
		err = fmt.Errorf("%w\nRun it again to go on", err)
	}
	return errors.Join(err, end())
}
