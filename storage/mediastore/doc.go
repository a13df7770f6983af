// Package mediastore keeps files of tenants: see core/media.Store.
package mediastore
